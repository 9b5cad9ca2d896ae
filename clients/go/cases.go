package assay

import (
	"bytes"
	"encoding/binary"
	"iter"
	"strconv"

	"github.com/assay-ml/assay/clients/go/assayv1"
)

// Element is an element type of arrays.
type Element interface {
	float32 | float64 | int32 | int64 | uint8 | bool | string
}

// Array is an input of a case: elements in row-major order. A shape is the lengths of the axes, without the sample axis;
// a single value has none.
func Array[T Element](elements []T, shape ...uint64) *Value {
	tensor := &assayv1.Tensor{Shape: shape}
	switch elements := any(elements).(type) {
	case []string:
		tensor.DataType, tensor.Text = assayv1.DataType_DATA_TYPE_STRING, elements
	case []uint8:
		tensor.DataType, tensor.Data = assayv1.DataType_DATA_TYPE_UINT8, elements
	case []bool:
		tensor.DataType, tensor.Data = assayv1.DataType_DATA_TYPE_BOOL, littleEndian(elements)
	case []float32:
		tensor.DataType, tensor.Data = assayv1.DataType_DATA_TYPE_FLOAT32, littleEndian(elements)
	case []float64:
		tensor.DataType, tensor.Data = assayv1.DataType_DATA_TYPE_FLOAT64, littleEndian(elements)
	case []int32:
		tensor.DataType, tensor.Data = assayv1.DataType_DATA_TYPE_INT32, littleEndian(elements)
	case []int64:
		tensor.DataType, tensor.Data = assayv1.DataType_DATA_TYPE_INT64, littleEndian(elements)
	}
	return &Value{Value: &assayv1.Value_Tensor{Tensor: tensor}}
}

func littleEndian(elements any) []byte {
	var data bytes.Buffer
	// Numbers of a fixed size into memory: this cannot fail.
	_ = binary.Write(&data, binary.LittleEndian, elements)
	return data.Bytes()
}

// Image is an input of a case: the bytes of a PNG, JPEG or WebP file.
func Image(file []byte) *Value {
	return &Value{Value: &assayv1.Value_Image{Image: file}}
}

// ClassIndex is the expected answer of a case, Case.Expected: a class by index.
func ClassIndex(index uint64) *assayv1.Case_Class {
	class := &assayv1.Class{Class: &assayv1.Class_Index{Index: index}}
	return &assayv1.Case_Class{Class: &assayv1.ClassAnswer{Label: class}}
}

// ClassName is the expected answer of a case, Case.Expected: a class by a name that the model's signature has.
func ClassName(name string) *assayv1.Case_Class {
	class := &assayv1.Class{Class: &assayv1.Class_Name{Name: name}}
	return &assayv1.Case_Class{Class: &assayv1.ClassAnswer{Label: class}}
}

// Number is the expected answer of a case, Case.Expected: a value.
func Number(value float64) *assayv1.Case_Value {
	return &assayv1.Case_Value{Value: value}
}

// TextTag is a property by which results are sliced.
func TextTag(text string) *assayv1.Tag {
	return &assayv1.Tag{Tag: &assayv1.Tag_Text{Text: text}}
}

// NumberTag is a property by which results are sliced.
func NumberTag(number float64) *assayv1.Tag {
	return &assayv1.Tag{Tag: &assayv1.Tag_Number{Number: number}}
}

// Cases are the cases of a SuiteUpload that are in memory. Cases without an id are called by their position from 0, as in
// files of arrays.
func Cases(cases []*Case) iter.Seq2[*Case, error] {
	return func(yield func(*Case, error) bool) {
		for position, next := range cases {
			if next.GetId() == "" {
				next = &Case{
					Id: strconv.Itoa(position), Inputs: next.GetInputs(), Expected: next.Expected, Tags: next.GetTags(),
				}
			}
			if !yield(next, nil) {
				return
			}
		}
	}
}
